"""Why a row falls short of its target, said in the report beside it when it does. Keys are those of the parts."""

WHY = {
    "plain": "on loopback the kernel charges the work of sending to whoever triggers it. nginx runs ahead of its client, whose "
             "acknowledgements then pull the packets at the client's cost; Oxbow sends in turns of 1 MiB and pays for more of its "
             "own packets, while server and client together cost less or the same. A larger unsent backlog did not change it",
}
