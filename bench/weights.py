"""The one way pretrained weights come in: verified by SHA-256, offline-aware.

(interface first; see :class:`WeightFile`)
"""
