{{- define "firebreak.name" -}}
{{- printf "%s" .Release.Name | trunc 40 | trimSuffix "-" }}-operator
{{- end }}

{{- define "firebreak.selector" -}}
app.kubernetes.io/name: firebreak-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* managed-by says who made an object; the value "firebreak" is what the operator itself puts on what it makes. */}}
{{- define "firebreak.labels" -}}
{{ include "firebreak.selector" . }}
app.kubernetes.io/part-of: firebreak
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* Takes a list: one of .Values.images, and the tag when it names none. */}}
{{- define "firebreak.image" -}}
{{- $image := index . 0 -}}
{{- $image.repository }}:{{ default (index . 1) $image.tag }}{{ with $image.digest }}@{{ . }}{{ end }}
{{- end }}

{{- define "firebreak.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "firebreak.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* Takes the weight: what is lighter is made before. */}}
{{- define "firebreak.cleanupHook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
