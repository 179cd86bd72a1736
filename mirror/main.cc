// The one binary: `oxbow serve` and what an operator asks beside it.
#include "mirror/cli.h"

int main(int argc, char** argv) { return oxbow::mirror::run_cli(argc, argv); }
