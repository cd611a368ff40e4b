#!/bin/sh
# OpenSearch with the settings that Elasticsearch's image reads from the environment.
set -eu
cd /usr/share/elasticsearch
export OPENSEARCH_JAVA_OPTS="$ES_JAVA_OPTS"
OPENSEARCH_JAVA_HOME=$(dirname "$(dirname "$(readlink -f "$(command -v java)")")")
export OPENSEARCH_JAVA_HOME
# A shell forgets variables with dots in their names; what the process was started with still holds them.
setting() { tr '\0' '\n' </proc/$$/environ | sed -n "s/^$1=//p"; }
exec bin/opensearch -E network.host=0.0.0.0 -E "discovery.type=$(setting 'discovery\.type')" -E "cluster.name=$(setting 'cluster\.name')"
