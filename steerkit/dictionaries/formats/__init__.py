"""One short reader a publisher: from its files to `Parts`. `recognise` tells which."""
