"""The commands of `vault-client`, one module per group. They read options, show, and leave the work to the package."""
