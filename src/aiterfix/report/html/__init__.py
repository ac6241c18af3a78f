"""Reports as one HTML file: no script, no font and no picture from elsewhere; for light, dark and paper."""
