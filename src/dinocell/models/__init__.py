"""Trained models: named variants, checkpoints, published weights, export."""
