"""What one batch's loss is, one file each."""
