{{/* The name of all objects; also that of the Service whose endpoints are the peers. */}}
{{- define "oxbow.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride }}
{{- else if contains "oxbow" .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-oxbow" (.Release.Name | trunc 44 | trimSuffix "-") }}
{{- end -}}
{{- end -}}

{{- define "oxbow.selectorLabels" -}}
app.kubernetes.io/name: oxbow
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "oxbow.labels" -}}
{{ include "oxbow.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "oxbow.image" -}}
{{- $repository := required "image.repository is not set: push the image that packaging/image/build.sh makes, and name it here (docs/kubernetes.md)" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{ $repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ $repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "oxbow.caSecret" -}}
{{ .Values.certificates.secretName | default (printf "%s-ca" (include "oxbow.fullname" .)) }}
{{- end -}}

{{/* Whether pods make their certificate from a CA in a Secret. */}}
{{- define "oxbow.issues" -}}
{{- if and .Values.peers.enabled (has .Values.certificates.mode (list "generate" "secret" "cert-manager")) }}yes{{ end -}}
{{- end -}}

{{/* Certificates of the node: NODE.crt, NODE.key, ca.crt. */}}
{{- define "oxbow.hasTls" -}}
{{- if and .Values.peers.enabled (ne .Values.certificates.mode "insecure") }}yes{{ end -}}
{{- end -}}

{{/* Seconds of client.drain_timeout, rounded up. */}}
{{- define "oxbow.drainSeconds" -}}
{{- $text := (.Values.config.client | default dict).drain_timeout | default "10s" -}}
{{- if regexMatch "^[0-9]+ms$" $text -}}
{{ add 1 (div (int64 (trimSuffix "ms" $text)) 1000) }}
{{- else if hasSuffix "s" $text -}}
{{ int64 (trimSuffix "s" $text) }}
{{- else if hasSuffix "m" $text -}}
{{ mul 60 (int64 (trimSuffix "m" $text)) }}
{{- else -}}
{{ mul 3600 (int64 (trimSuffix "h" $text)) }}
{{- end -}}
{{- end -}}

{{/* One value of TOML. A JSON string is a TOML string; YAML's numbers have come here as floats. */}}
{{- define "oxbow.tomlValue" -}}
{{- if and (kindIs "float64" .) (eq (float64 (int64 .)) .) -}}
{{ int64 . }}
{{- else -}}
{{ toJson . }}
{{- end -}}
{{- end -}}

{{/* The lines of a table; what is nested gets dotted keys. */}}
{{- define "oxbow.tomlTable" -}}
{{- $prefix := .prefix -}}
{{- range $key, $value := .table -}}
{{- if kindIs "map" $value -}}
{{ include "oxbow.tomlTable" (dict "prefix" (printf "%s%s." $prefix $key) "table" $value) }}
{{- else if not (kindIs "invalid" $value) -}}
{{ $prefix }}{{ $key }} = {{ include "oxbow.tomlValue" $value }}
{{ end -}}
{{- end -}}
{{- end -}}

{{/* oxbow.toml: the values, and what the chart knows better. What differs from node to node is in the environment. */}}
{{- define "oxbow.toml" -}}
{{- $own := dict
  "client" (dict "listen" (list (printf "127.0.0.1:%d" (int64 .Values.ports.client))))
  "storage" (dict "directory" "/var/lib/oxbow")
  "admin" (dict "listen" (printf "127.0.0.1:%d" (int64 .Values.ports.admin)) "socket" "/run/oxbow/admin.sock")
-}}
{{- if .Values.peers.enabled -}}
{{- $_ := set $own "membership" (dict "provider" "kubernetes" "service" (include "oxbow.fullname" .) "port_name" "peers"
  "config_map" (printf "%s-cluster" (include "oxbow.fullname" .))) -}}
{{- if eq .Values.certificates.mode "insecure" -}}
{{- $_ := set $own "peer" (dict "tls" (dict "insecure" true)) -}}
{{- end -}}
{{- else -}}
{{- $_ := set $own "routing" (dict "strategy" "single") -}}
{{- end -}}
# Made by Helm from the chart's values; a change by hand is lost.
{{- range $section, $table := mergeOverwrite (deepCopy .Values.config) $own }}

[{{ $section }}]
{{ include "oxbow.tomlTable" (dict "prefix" "" "table" $table) | trim }}
{{- end }}
{{- range .Values.registries }}

[[registry]]
{{ include "oxbow.tomlTable" (dict "prefix" "" "table" .) | trim }}
{{- end }}
{{ end -}}

{{/* What only the pod knows. Each variable is an option: OXBOW_SECTION_KEY. */}}
{{- define "oxbow.env" -}}
{{- $host := ternary "[$(POD_IP)]" "$(POD_IP)" .Values.peers.ipv6 -}}
- { name: POD_IP, valueFrom: { fieldRef: { fieldPath: status.podIP } } }
{{- if .Values.peers.enabled }}
- { name: OXBOW_PEER_NAME, valueFrom: { fieldRef: { fieldPath: spec.nodeName } } }
- { name: OXBOW_PEER_LISTEN, value: "{{ $host }}:{{ int64 .Values.ports.peers }}" }
{{- end }}
{{- if include "oxbow.hasTls" . }}
- { name: OXBOW_PEER_TLS_CA, value: /run/oxbow-tls/ca.crt }
- { name: OXBOW_PEER_TLS_CERTIFICATE, value: /run/oxbow-tls/$(OXBOW_PEER_NAME).crt }
- { name: OXBOW_PEER_TLS_KEY, value: /run/oxbow-tls/$(OXBOW_PEER_NAME).key }
{{- end }}
{{- if .Values.metrics.onNodeAddress }}
- { name: OXBOW_ADMIN_LISTEN, value: "{{ $host }}:{{ int64 .Values.ports.admin }}" }
{{- end }}
{{- end -}}

{{/* The node's directories in which the runtime's configuration is. */}}
{{- define "oxbow.runtimeDirectories" -}}
{{- $needed := dict "containerd" "/etc/containerd" "cri-o" "/etc/containers" "k3s" "/etc/rancher" -}}
{{- .Values.runtime.directories | default (list (get $needed .Values.runtime.name)) | toJson -}}
{{- end -}}

{{- define "oxbow.runtimeVolumes" -}}
- { name: install-record, hostPath: { path: /etc/oxbow, type: DirectoryOrCreate } }
{{- range $i, $path := include "oxbow.runtimeDirectories" . | fromJsonArray }}
- { name: runtime-{{ $i }}, hostPath: { path: {{ $path | quote }}, type: Directory } }
{{- end }}
{{- end -}}

{{- define "oxbow.runtimeMounts" -}}
- { name: install-record, mountPath: /host/etc/oxbow }
{{- range $i, $path := include "oxbow.runtimeDirectories" . | fromJsonArray }}
- { name: runtime-{{ $i }}, mountPath: {{ printf "/host%s" $path | quote }} }
{{- end }}
{{- end -}}

{{/* Root of the container, with these capabilities alone (a list). */}}
{{- define "oxbow.rootContext" -}}
runAsUser: 0
runAsGroup: 0
runAsNonRoot: false
privileged: false
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL]{{ with . }}, add: {{ toJson . }}{{ end }} }
{{- end -}}

{{- define "oxbow.smallResources" -}}
requests: { cpu: 10m, memory: 32Mi }
limits: { memory: 128Mi }
{{- end -}}

{{- define "oxbow.cleanupMeta" }}
  namespace: {{ .Release.Namespace }}
  labels:
    app.kubernetes.io/name: oxbow-cleanup
    app.kubernetes.io/instance: {{ .Release.Name | quote }}
  annotations:
    helm.sh/hook: post-delete
{{- end }}

{{- define "oxbow.kubectl" -}}
image: {{ .Values.cleanup.kubectlImage }}
securityContext:
  runAsUser: 65532
  runAsNonRoot: true
  privileged: false
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
resources: {{- include "oxbow.smallResources" . | nindent 2 }}
volumeMounts:
  - { name: tmp, mountPath: /tmp }
{{- end -}}
