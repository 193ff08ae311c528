"""SQL files, applied in the order of their names by `agent_service.migrating`."""
