"""From a volume and its metadata to a label map on exactly the volume's grid."""
