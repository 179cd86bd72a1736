"""Why a row falls short of its target, said in the report beside it when it does. Keys are those of the parts."""

WHY = {
    "plain": "on loopback the kernel charges the work of sending to whoever triggers it. Until a response has sent 2 MiB Oxbow keeps "
             "the unsent backlog small and sends its own packets; nginx never does. docs/decisions/0006-unsent-backlog.md has the "
             "numbers with and without BBR as the machine's congestion control",
}
