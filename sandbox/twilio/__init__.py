"""A simulated Twilio: its Messages API, and status callbacks as Twilio sends them.

simulator   the simulator itself, pure and deterministic: time, ids and network are its caller's
server      runs it on a port, in real time
caller      performs its callbacks over the network

rest        which request does what
creation    reads a request to send, and refuses what Twilio refuses
listing     pages of messages
resource    a message, and the documents that show it, in JSON and XML
accounts    who may call, and whose token signs
errors      Twilio's refusals
exchange    a request and its answer as plain values

stories     what happens to a message, by its recipient's number
playback    plays the stories: what happens when, and what came of it
callbacks   what a callback says, how it is signed, when it is tried again
overrides   what the fragment of its URL says about that
segments    how many parts a text takes

settings    what can be changed while it runs
own_pages   /_simulator/: what it knows, for tests and for people who look inside
"""
