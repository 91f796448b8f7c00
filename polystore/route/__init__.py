"""How verbs reach a database: plainly, or through a migration."""
