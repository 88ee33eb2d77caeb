"""The pixel engine: photos in, exact grids and palettes out. numpy images only, never torch."""
