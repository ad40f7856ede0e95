"""The Jepsen-like part: clusters, clients, history, checkers, reports, and the command line."""
