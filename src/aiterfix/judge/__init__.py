"""The one judge: what is installed or loaded, and what a launch passes, in; one `Judgement` out."""
