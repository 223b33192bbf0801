"""The studio: a page in the browser for converting songs, training voices and listening; a server for one machine.

It has no logic of its own: what it shows, the library computed. The server (`app.py`) answers at once and computes
nothing; a process beside it (`worker.py`) calls the library, and a training is a process of its own (`trainer.py`).
"""
