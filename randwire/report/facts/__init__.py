"""What a report says, as plain values and text: the page and the W&B report are two renderings of it."""
