"""Caching layers."""
