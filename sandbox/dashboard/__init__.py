"""The dashboard of the sandbox: a page on this machine that stands in for CloudWatch's."""
