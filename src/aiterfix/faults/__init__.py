"""The known faults, one module each: where is it, what takes it out, what shows it, when does it bite."""
