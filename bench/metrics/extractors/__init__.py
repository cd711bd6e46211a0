"""Pretrained networks that turn images into features; chosen by the weights file that is there."""
