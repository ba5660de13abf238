#!/bin/sh
# Makes the databases of Prefect and of the Iceberg catalog, each with a user of its own. May be run again:
# then it sets their passwords to those of .env.
set -eu

for name in prefect catalog; do
  case $name in
    prefect) password=$PREFECT_PASSWORD ;;
    catalog) password=$CATALOG_PASSWORD ;;
  esac
  # The password comes by standard input: arguments of a process can be read by others.
  psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --set name="$name" postgres <<SQL
\set password '$password'
SELECT format('CREATE ROLE %I LOGIN', :'name')
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'name') \gexec
ALTER ROLE :"name" PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I', :'name', :'name')
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done
echo "databases prefect and catalog are ready"
