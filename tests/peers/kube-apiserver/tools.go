//go:build tools

// Package kubeapiserver pins the kube-apiserver that the tests run against.
package kubeapiserver

import _ "k8s.io/kubernetes/cmd/kube-apiserver"
