"""A plugin-based benchmark suite for image-to-image translation."""
