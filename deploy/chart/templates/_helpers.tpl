{{- define "netpol.labels" -}}
app.kubernetes.io/name: netpol
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "netpol.selector" -}}
app.kubernetes.io/name: netpol
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "netpol.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- /* What both of the agent and of cleanup may do: change the node's nftables and its connections, and nothing else. */}}
{{- define "netpol.securityContext" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
  add: [NET_ADMIN]
privileged: false
readOnlyRootFilesystem: true
# A capability that is added is in force for root only; of root it has nothing but that.
runAsUser: 0
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- /* Not empty if the container runtime is asked to let pods wait. */}}
{{- define "netpol.gate" -}}
{{- if and (ne .Values.podStart "open") (ne .Values.nri.socket "off") }}yes{{ end }}
{{- end }}

{{- /* Not empty if the Node object has to say where pods are. */}}
{{- define "netpol.asksNode" -}}
{{- if not (or (eq .Values.podStart "open") .Values.podCIDRs .Values.podInterfaces) }}yes{{ end }}
{{- end }}
