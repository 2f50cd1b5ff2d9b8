{{/* The release's name with the chart's, short enough for a component's name behind it. */}}
{{- define "qbb.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}{{ .Release.Name | trunc 45 | trimSuffix "-" }}
{{- else -}}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 45 | trimSuffix "-" }}{{- end -}}
{{- end -}}

{{/* Of (list root component): what a Deployment selects by; it can never change. */}}
{{- define "qbb.selector" -}}
app.kubernetes.io/name: {{ (index . 0).Chart.Name }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "qbb.labels" -}}
{{ include "qbb.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/part-of: qbb
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ (index . 0).Chart.Name }}-{{ (index . 0).Chart.Version }}
{{- end -}}

{{/* Of (list root service override). */}}
{{- define "qbb.image" -}}
{{- $image := (index . 0).Values.image -}}
{{- index . 2 | default (printf "%s%s-%s:%s" (ternary "" (printf "%s/" $image.registry) (empty $image.registry)) $image.name (index . 1) ($image.tag | default (index . 0).Chart.AppVersion)) -}}
{{- end -}}

{{/* Of (list root user): the pod's part of the restricted Pod Security Standard. */}}
{{- define "qbb.podSecurity" -}}
runAsNonRoot: true
{{- with index . 1 }}
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{/* What all pods have alike. Of (list root serviceAccount user). */}}
{{- define "qbb.pod" -}}
serviceAccountName: {{ index . 1 }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with (index . 0).Values.image.pullSecrets }}
imagePullSecrets: {{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
securityContext: {{- include "qbb.podSecurity" (list (index . 0) (index . 2)) | nindent 2 }}
{{- end -}}

{{- define "qbb.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{- define "qbb.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A map of settings as environment: Section:Name or Section__Name. */}}
{{- define "qbb.settings" -}}
{{- range $name, $value := . }}
- name: {{ $name | replace ":" "__" }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end -}}

{{- define "qbb.brokerSecret" -}}{{ .Values.broker.existingSecret | default (printf "%s-broker" (include "qbb.fullname" .)) }}{{- end -}}
{{- define "qbb.databaseSecret" -}}{{ .Values.database.existingSecret | default (printf "%s-database" (include "qbb.fullname" .)) }}{{- end -}}
{{- define "qbb.artifactsClaim" -}}{{ .Values.artifacts.claim.existing | default (printf "%s-artifacts" (include "qbb.fullname" .)) }}{{- end -}}
{{- define "qbb.brokerHost" -}}
{{- if .Values.broker.deploy }}{{ include "qbb.fullname" . }}-broker{{ else }}{{ required "broker.host is empty: give the broker's host name, or set broker.deploy for one in this release" .Values.broker.host }}{{ end -}}
{{- end -}}
{{- define "qbb.databaseHost" -}}
{{- if .Values.database.deploy }}{{ include "qbb.fullname" . }}-database{{ else }}{{ required "database.host is empty: give PostgreSQL's host name, or set database.deploy for one in this release" .Values.database.host }}{{ end -}}
{{- end -}}

{{/* A volume that one node alone can mount holds everybody on that node. */}}
{{- define "qbb.isOneNode" -}}
{{- if and (eq .Values.artifacts.store "folder") (eq .Values.artifacts.claim.accessMode "ReadWriteOnce") }}yes{{ end -}}
{{- end -}}

{{/* Of (list root affinity): the given affinity, and the registry's node where one node holds everybody; the first pod of all chooses it. */}}
{{- define "qbb.affinity" -}}
{{- $affinity := deepCopy (index . 1) -}}
{{- if include "qbb.isOneNode" (index . 0) -}}
{{- $registry := dict "matchLabels" (include "qbb.selector" (list (index . 0) "registry") | fromYaml) -}}
{{- $affinity = mergeOverwrite (dict "podAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list (dict "topologyKey" "kubernetes.io/hostname" "labelSelector" $registry)))) $affinity -}}
{{- end -}}
{{- with $affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where blobs lie, or what was read of the bucket. */}}
{{- define "qbb.dataFolder" -}}{{ ternary "/data" "/cache" (eq .Values.artifacts.store "folder") }}{{- end -}}

{{/* The settings of every service: bus, store, telemetry. */}}
{{- define "qbb.env" -}}
{{- $v := .Values -}}
- { name: HOME, value: /tmp }
- { name: XDG_CACHE_HOME, value: /tmp/cache }
- { name: DOTNET_EnableDiagnostics, value: "0" }
- { name: Urls, value: "http://*:8080" }
- { name: Startup__WaitSeconds, value: {{ $v.startupSeconds | toString | quote }} }
- { name: Bus__Transport, value: RabbitMq }
- { name: Bus__Host, value: {{ include "qbb.brokerHost" . }} }
- { name: Bus__Port, value: {{ $v.broker.port | toString | quote }} }
- { name: Bus__VirtualHost, value: {{ $v.broker.virtualHost | quote }} }
- { name: Bus__User, value: {{ $v.broker.user | quote }} }
- { name: Bus__PasswordFile, value: /run/secrets/broker/password }
{{- with $v.broker.prefix }}
- { name: Bus__Prefix, value: {{ . | quote }} }
{{- end }}
- { name: Artifacts__Folder, value: {{ include "qbb.dataFolder" . }}/artifacts }
{{- if eq $v.artifacts.store "s3" }}
- { name: Artifacts__Store, value: S3 }
- { name: Artifacts__CacheGigabytes, value: {{ $v.artifacts.cacheGigabytes | toString | quote }} }
- { name: Artifacts__S3__Bucket, value: {{ required "artifacts.s3.bucket is empty: give the bucket, which must exist" $v.artifacts.s3.bucket | quote }} }
{{- with $v.artifacts.s3.endpoint }}
- { name: Artifacts__S3__Endpoint, value: {{ . | quote }} }
{{- end }}
{{- with $v.artifacts.s3.region }}
- { name: Artifacts__S3__Region, value: {{ . | quote }} }
{{- end }}
{{- with $v.artifacts.s3.prefix }}
- { name: Artifacts__S3__Prefix, value: {{ . | quote }} }
{{- end }}
{{- if ne $v.artifacts.s3.pathStyle nil }}
- { name: Artifacts__S3__PathStyle, value: {{ $v.artifacts.s3.pathStyle | toString | quote }} }
{{- end }}
{{- with $v.artifacts.s3.existingSecret }}
- name: Artifacts__S3__AccessKey
  valueFrom: { secretKeyRef: { name: {{ . }}, key: access-key } }
- { name: Artifacts__S3__SecretKeyFile, value: /run/secrets/s3/secret-key }
{{- end }}
{{- end }}
{{- if $v.metrics.enabled }}
- { name: Telemetry__MetricsPort, value: {{ $v.metrics.port | toString | quote }} }
{{- end }}
{{- with $v.telemetry.endpoint }}
- { name: Telemetry__Endpoint, value: {{ . | quote }} }
{{- end }}
{{- include "qbb.settings" $v.settings }}
{{- end -}}

{{- define "qbb.databaseEnv" -}}
{{- $d := .Values.database -}}
- { name: Database__Provider, value: Postgres }
- name: Database__ConnectionString
  value: {{ printf "Host=%s;Port=%s;Database=%s;Username=%s%s" (include "qbb.databaseHost" .) ($d.port | toString) $d.name $d.user (ternary "" (printf ";%s" $d.options) (empty $d.options)) | quote }}
- { name: Database__PasswordFile, value: /run/secrets/database/password }
{{- end -}}

{{- define "qbb.mounts" -}}
- { name: tmp, mountPath: /tmp }
- { name: data, mountPath: {{ include "qbb.dataFolder" . }} }
- { name: broker-secret, mountPath: /run/secrets/broker, readOnly: true }
{{- if and (eq .Values.artifacts.store "s3") .Values.artifacts.s3.existingSecret }}
- { name: s3-secret, mountPath: /run/secrets/s3, readOnly: true }
{{- end }}
{{- end -}}

{{/* Of (list root scratch). */}}
{{- define "qbb.volumes" -}}
{{- $root := index . 0 -}}
- { name: tmp, emptyDir: {} }
{{- if eq $root.Values.artifacts.store "folder" }}
- { name: data, persistentVolumeClaim: { claimName: {{ include "qbb.artifactsClaim" $root }} } }
{{- else }}
- { name: data, emptyDir: { sizeLimit: {{ index . 1 }} } }
{{- end }}
- { name: broker-secret, secret: { secretName: {{ include "qbb.brokerSecret" $root }}, items: [{ key: password, path: password }] } }
{{- if and (eq $root.Values.artifacts.store "s3") $root.Values.artifacts.s3.existingSecret }}
- { name: s3-secret, secret: { secretName: {{ $root.Values.artifacts.s3.existingSecret }}, items: [{ key: secret-key, path: secret-key }] } }
{{- end }}
{{- end -}}

{{- define "qbb.databaseVolume" -}}
- { name: database-secret, secret: { secretName: {{ include "qbb.databaseSecret" . }}, items: [{ key: password, path: password }] } }
{{- end -}}

{{/* A service answers once broker, database and bucket have answered it, for which it waits startupSeconds. */}}
{{- define "qbb.probes" -}}
startupProbe: { httpGet: { path: /health/live, port: http }, periodSeconds: 2, timeoutSeconds: 2, failureThreshold: {{ div (add (int .Values.startupSeconds) 60) 2 }} }
livenessProbe: { httpGet: { path: /health/live, port: http }, periodSeconds: 10, timeoutSeconds: 10, failureThreshold: 6 }
readinessProbe: { httpGet: { path: /health/ready, port: http }, periodSeconds: 5, timeoutSeconds: 5, failureThreshold: 3 }
{{- end -}}

{{- define "qbb.ports" -}}
- { name: http, containerPort: 8080 }
{{- if .Values.metrics.enabled }}
- { name: metrics, containerPort: {{ .Values.metrics.port }} }
{{- end }}
{{- end -}}

{{/* A password that stays over upgrades; it is drawn at the first installation. Of (list root secret). */}}
{{- define "qbb.password" -}}
{{- $known := lookup "v1" "Secret" (index . 0).Release.Namespace (index . 1) -}}
{{- if $known }}{{ index $known.data "password" | b64dec }}{{ else }}{{ randAlphaNum 32 }}{{ end -}}
{{- end -}}
