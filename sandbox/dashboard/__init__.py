"""The dashboard of the sandbox: what CloudWatch shows in AWS, played by a page on this machine."""
