"""A secret as an operator makes one, for settings outside development."""

STRONG_SECRET = "vB9xT2mLr7wJd5ZpNf8Hc1GsUa4k3Yq0EoRi6"
