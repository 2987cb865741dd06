"""The PostgreSQL database that several machines share: connections and tables. Needs the extra ``postgres``."""
