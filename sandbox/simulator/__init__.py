"""A simulated Twilio: its Messages API, and status callbacks as Twilio sends them.

`twilio.py` is the simulator itself: pure and deterministic, with the time, the ids and the network
left to its caller. `server.py` runs it on a port, in real time.
"""
