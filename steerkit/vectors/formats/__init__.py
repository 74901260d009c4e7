"""One short reader a format, and writers of two: steerkit's own and llama.cpp's."""
