{{- define "varta-watch.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "varta-watch.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "varta-watch.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "varta-watch.selectorLabels" -}}
app.kubernetes.io/name: {{ include "varta-watch.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "varta-watch.labels" -}}
{{ include "varta-watch.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "varta-watch.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "varta-watch.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "varta-watch.secretName" -}}
{{- default (include "varta-watch.fullname" .) .Values.token.existingSecret -}}
{{- end -}}

{{- define "varta-watch.image" -}}
{{- with .Values.image -}}
{{- with .registry }}{{ . }}/{{ end -}}
{{- .repository }}:{{ default $.Chart.AppVersion .tag -}}
{{- with .digest }}@{{ . }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* The daemon's file: what the chart sets comes first, because tables stand last in the user's part. */}}
{{- define "varta-watch.config" -}}
{{- $taken := "(?m)^[ \\t]*[\"']?(socket|notify-socket|prom-addr|prom-token-file)[\"']?[ \\t]*=" -}}
{{- with regexFind $taken .Values.config -}}
{{- fail (printf "config must not contain `%s`: the chart sets that key itself, by socketDir, notify, service.port or token" (trim . | trimSuffix "=" | trim)) -}}
{{- end -}}
socket = {{ printf "%s/varta.sock" .Values.socketDir | toJson }}
{{ if .Values.notify.enabled -}}
notify-socket = {{ printf "%s/notify.sock" .Values.socketDir | toJson }}
{{ end -}}
prom-addr = "0.0.0.0:{{ .Values.service.port }}"
prom-token-file = "/etc/varta-secret/token"
{{ .Values.config }}
{{- end -}}

{{/* The file of varta-relay. */}}
{{- define "varta-watch.relayConfig" -}}
{{- $taken := "(?m)^[ \\t]*[\"']?(host|history-dir|cursor-file|agents-url|agents-token-file|metrics-addr)[\"']?[ \\t]*=" -}}
{{- with regexFind $taken .Values.relay.config -}}
{{- fail (printf "relay.config must not contain `%s`: the chart sets that key itself" (trim . | trimSuffix "=" | trim)) -}}
{{- end -}}
{{- if not .Values.state.enabled -}}
{{- fail "relay.enabled needs state.enabled: it reads the history that the daemon keeps in that folder" -}}
{{- end -}}
history-dir = "/var/lib/varta/history"
cursor-file = "/var/lib/varta-relay/cursor.json"
agents-url = "http://127.0.0.1:{{ .Values.service.port }}"
agents-token-file = "/etc/varta-secret/token"
metrics-addr = "0.0.0.0:{{ .Values.relay.port }}"
{{ .Values.relay.config }}
{{- end -}}

{{/* What a scrape of one pod needs, for both kinds of monitor: a list of the root, the kind's values and the port. */}}
{{- define "varta-watch.endpoint" -}}
{{- $root := index . 0 -}}
- port: {{ index . 2 }}
  path: /metrics
  {{- if $root.Values.prometheus.fleet }}
  params:
    collect[]: [daemon, programs]
  {{- end }}
  authorization:
    type: Bearer
    credentials: {name: {{ include "varta-watch.secretName" $root }}, key: {{ $root.Values.token.key }}}
  {{- include "varta-watch.scrape" (list (index . 1) "varta-watch") }}
{{- end -}}

{{/* The same for varta-relay, whose metrics need no token: a list of the kind's values and the port. */}}
{{- define "varta-watch.relayEndpoint" -}}
- port: {{ index . 1 }}
  path: /metrics
  {{- include "varta-watch.scrape" (list (index . 0) "varta-relay") }}
{{- end -}}

{{/* What both have in common: a list of the kind's values and the job. */}}
{{- define "varta-watch.scrape" -}}
{{- $monitor := index . 0 -}}
  {{- with $monitor.interval }}
  interval: {{ . }}
  {{- end }}
  {{- with $monitor.scrapeTimeout }}
  scrapeTimeout: {{ . }}
  {{- end }}
  relabelings:
    # The alerts and the dashboard refer to this job, and name the node rather than an address.
    - {targetLabel: job, replacement: {{ index . 1 }}}
    - {sourceLabels: [__meta_kubernetes_pod_node_name], targetLabel: instance}
    {{- with $monitor.relabelings }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $monitor.metricRelabelings }}
  metricRelabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
