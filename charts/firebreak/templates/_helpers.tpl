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

{{/* Whether records of agents go anywhere. */}}
{{- define "firebreak.records" -}}
{{- if or .Values.recordings.place .Values.audit.sinks .Values.traces.target }}true{{ end }}
{{- end }}

{{/* Options of a place of recordings. Takes a list: the values, the directory of its Secret, and the name of the key with the authority. */}}
{{- define "firebreak.recordingPlace" -}}
{{- $values := index . 0 -}}
{{- $directory := index . 1 -}}
{{- $parts := list -}}
{{- if hasPrefix "s3://" $values.place -}}
{{- with $values.endpoint }}{{ $parts = append $parts (printf "endpoint=%s" .) }}{{ end -}}
{{- with $values.region }}{{ $parts = append $parts (printf "region=%s" .) }}{{ end -}}
{{- $parts = concat $parts (list (printf "access-key-file=%s/access-key" $directory) (printf "secret-key-file=%s/secret-key" $directory)) -}}
{{- else -}}
{{- $parts = append $parts (printf "password-file=%s/password" $directory) -}}
{{- end -}}
{{- with index . 2 }}{{ $parts = append $parts (printf "ca-file=%s/%s" $directory .) }}{{ end -}}
{{- join "," $parts -}}
{{- end }}

{{/* The port that a place of recordings is reached on. */}}
{{- define "firebreak.recordingPort" -}}
{{- $url := urlParse (ternary (default "https://amazon" .endpoint) .place (hasPrefix "s3://" .place)) -}}
{{- $default := ternary "80" (ternary "443" "5432" (eq $url.scheme "https")) (eq $url.scheme "http") -}}
{{- with regexFind ":[0-9]+$" $url.host }}{{ trimPrefix ":" . }}{{ else }}{{ $default }}{{ end -}}
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
