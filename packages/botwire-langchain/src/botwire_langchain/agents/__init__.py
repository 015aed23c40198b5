"""What agents get: tools to remember with, and a middleware that reminds them."""
