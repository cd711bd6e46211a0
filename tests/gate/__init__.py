"""What must not grow unseen: costs that are exact, beside recorded ones."""
