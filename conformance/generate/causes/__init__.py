"""Why a process is silent: what is read of it and when, and what follows, written only from the specification."""
