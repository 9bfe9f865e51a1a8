"""The worker's consumer: what it receives, holds, pauses and gives back."""
