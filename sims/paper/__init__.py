"""The founding paper redone: Bhat & Kayathwal, "Flip Flops in Neural Models"."""
