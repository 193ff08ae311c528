"""The providers of models, a module for each: imported only where the operator gave its key."""
