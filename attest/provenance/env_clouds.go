package provenance

// codeBuild maps AWS CodeBuild.
//
// Source: AWS CodeBuild User Guide, "Environment variables in build environments".
func codeBuild() *system {
	return &system{
		name: "aws-codebuild", title: "AWS CodeBuild", marker: "CODEBUILD_BUILD_ARN",
		buildType: buildTypes + "#aws-codebuild-v1",
		external: []field{
			{"repository", "${CODEBUILD_SOURCE_REPO_URL}", remote, false},
			{"sourceVersion", "${CODEBUILD_SOURCE_VERSION}", text, false},
			{"initiator", "${CODEBUILD_INITIATOR}", text, false},
			{"trigger", "${CODEBUILD_WEBHOOK_TRIGGER}", text, false},
		},
		internal: []field{
			{"buildId", "${CODEBUILD_BUILD_ID}", text, true},
			{"buildNumber", "${CODEBUILD_BUILD_NUMBER}", count, false},
			{"image", "${CODEBUILD_BUILD_IMAGE}", text, false},
			{"region", "${AWS_REGION}", text, false},
		},
		repository: []template{"${CODEBUILD_SOURCE_REPO_URL}"},
		ref:        []template{"${CODEBUILD_WEBHOOK_HEAD_REF}"},
		commit:     "${CODEBUILD_RESOLVED_SOURCE_VERSION}", invocation: "${CODEBUILD_BUILD_ARN}",
		started: "${CODEBUILD_START_TIME}", clock: unixMilliseconds,
	}
}

// googleCloudBuild maps Google Cloud Build, which sets no variables by itself. A step
// passes the substitutions on, with automapSubstitutions or env, and the URL of the
// repository as SOURCE_URL.
//
// Source: Cloud Build documentation, "Substituting variable values".
func googleCloudBuild() *system {
	return &system{
		name: "google-cloud-build", title: "Google Cloud Build",
		buildType: buildTypes + "#google-cloud-build-v1",
		external: []field{
			{"repository", "${SOURCE_URL}", remote, false},
			{"trigger", "${TRIGGER_NAME}", text, false},
			{"ref", "${REF_NAME}", text, false},
		},
		internal: []field{
			{"project", "${PROJECT_ID}", text, true},
			{"location", "${LOCATION}", text, false},
			{"buildId", "${BUILD_ID}", text, true},
			{"triggerBuildConfigPath", "${TRIGGER_BUILD_CONFIG_PATH}", text, false},
		},
		repository: []template{"${SOURCE_URL}"},
		ref:        []template{"refs/tags/${TAG_NAME}", "refs/heads/${BRANCH_NAME}"}, commit: "${COMMIT_SHA}",
		invocation: "https://cloudbuild.googleapis.com/v1/projects/${PROJECT_ID}/locations/${LOCATION}/builds/${BUILD_ID}",
	}
}

// tekton maps Tekton Pipelines, which sets no variables by itself. The step's env
// passes context variables and parameters on under the names of this table.
//
// Source: Tekton documentation, "Variable substitutions supported by tasks and
// pipelines".
func tekton() *system {
	return &system{
		name: "tekton", title: "Tekton",
		buildType: buildTypes + "#tekton-v1",
		external: []field{
			{"pipeline", "${TEKTON_PIPELINE_NAME}", text, false},
			{"task", "${TEKTON_TASK_NAME}", text, true},
			{"repository", "${TEKTON_SOURCE_URL}", remote, false},
			{"revision", "${TEKTON_SOURCE_REVISION}", text, false},
		},
		internal: []field{
			{"namespace", "${TEKTON_NAMESPACE}", text, true},
			{"pipelineRun", "${TEKTON_PIPELINERUN_NAME}", text, false},
			{"pipelineRunUid", "${TEKTON_PIPELINERUN_UID}", text, false},
			{"taskRun", "${TEKTON_TASKRUN_NAME}", text, true},
			{"taskRunUid", "${TEKTON_TASKRUN_UID}", text, false},
		},
		repository: []template{"${TEKTON_SOURCE_URL}"},
		ref:        []template{"${TEKTON_SOURCE_REF}"}, commit: "${TEKTON_SOURCE_COMMIT}",
		invocation: "tekton://${TEKTON_NAMESPACE}/taskruns/${TEKTON_TASKRUN_NAME}/${TEKTON_TASKRUN_UID}",
	}
}
