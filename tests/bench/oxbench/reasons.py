"""Why a row falls short of its target, said in the report beside it when it does. Keys are those of the parts."""

WHY = {}
