"""`delivery doctor`: checks whether a deployed stack works, and says what to fix."""
