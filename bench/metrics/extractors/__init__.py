"""The built-in pretrained networks, which turn pictures into features or into distances."""
