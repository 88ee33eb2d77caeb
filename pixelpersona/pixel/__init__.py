"""The pixel engine: photos in, images on an exact grid and palette out. numpy arrays only, never torch."""
