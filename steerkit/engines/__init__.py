"""How a program meets a forward pass."""
