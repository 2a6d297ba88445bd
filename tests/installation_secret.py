"""Define a secret that settings outside development accept."""

STRONG_SECRET = "vB9xT2mLr7wJd5ZpNf8Hc1GsUa4k3Yq0EoRi6"
