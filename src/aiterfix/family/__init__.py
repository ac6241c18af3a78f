"""All that is true of the paged-MQA-logits kernels and of no others: names, parameters, problem, reference."""
