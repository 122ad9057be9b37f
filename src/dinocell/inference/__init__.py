"""Image to labels: prediction of the distance map, watershed, search of the scale, engines."""
