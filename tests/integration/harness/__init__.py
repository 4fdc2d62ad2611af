"""The peers of katalogd and katalogd itself, as the tests start them."""
